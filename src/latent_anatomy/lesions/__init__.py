"""From anomaly maps to delineated lesions, and how good they are: pure functions on arrays.

The unit is a stack: consecutive slices of one patient, (S, H, W), scored, masked and delineated
together and never with another patient's.

    stacks          which slices are a stack
    postprocessing  median filter, eroded brain mask, threshold, small components
    thresholds      where to cut: from training residuals
    ranking         what every possible cut gives, over all voxels of a set: AUPRC and best Dice
    measures        what one cut gives, per patient, per lesion and over the set
    patients        a patient of several stacks, and what patients give together

Anomaly maps are float32, finite and never negative; 0 says "nothing here", also outside of the eroded
brain mask. A voxel is called a lesion where its score lies *above* the threshold, so that a threshold of
0 does not call the background one. Thresholds are float32 numbers, because scores are.
"""
