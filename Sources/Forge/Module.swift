// Module Forge.
