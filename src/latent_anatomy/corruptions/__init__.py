"""Image corruptions: `augment`, the 12 corruptions that training draws from, and `imagenet_c`, the 14 of the robustness test."""
