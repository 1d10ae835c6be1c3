"""What several tests share: running tools, loop devices, generators of images, oracles."""
