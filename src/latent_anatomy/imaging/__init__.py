"""From raw heads to slices in atlas space, one step a module and one subject a job.

The steps, in their order; each maps volumes to volumes and returns the numbers that judge it:

1. `bias`           N4 bias-field correction of every image, on its own grid
2. `coregistration` the subject's other images onto the sliced one, rigid
3. `registration`   the guide image to the atlas; all images and masks resampled once
4. `stripping`      the brain mask in atlas space
5. `normalisation`  denoising, masking, clipping, scaling to [0, 1]
6. `slab`           axial slices at the same atlas positions for every subject

`volume` is what they all pass on: a volume in memory, and NIfTI files in and out.
"""
