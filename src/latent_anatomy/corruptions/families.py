"""The families of ImageNet-C's corruptions (Hendrycks and Dietterich 2019, figure 1), without glass blur."""

FAMILIES = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
FAMILIES["all"] = tuple(name for names in FAMILIES.values() for name in names)
