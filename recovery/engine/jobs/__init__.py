"""What runs an accepted Plan, one module for each kind of job."""
