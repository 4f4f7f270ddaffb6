// Module Diffusion.
