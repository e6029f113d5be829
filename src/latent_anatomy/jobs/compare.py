"""Compare the runs of a study on one data set, image by image."""
