// Module Lab.
