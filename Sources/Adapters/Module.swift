// Module Adapters.
