"""From raw heads to slices in atlas space: what happens to a volume, one step after the other.

The steps, in their order; each takes volumes and gives volumes and the numbers that judge them:

1. `bias`           N4 bias-field correction of every image, on its own grid
2. `registration`   the subject's other images onto the sliced one, rigid; then the guide image to the atlas
3. `transform`      all images and masks onto the atlas grid, resampled once
4. `stripping`      the brain mask in atlas space
5. `normalisation`  denoising, masking, clipping, scaling to [0, 1]
6. `slab`           axial slices at the same atlas positions for every subject

Beside them: `volume`, what they all pass on, and NIfTI files in and out; `itk`, the same as SimpleITK images,
computed by one thread; `pictures`, one look at each step; `gate`, which subjects failed.
"""
