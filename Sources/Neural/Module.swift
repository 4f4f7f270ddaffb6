// Module Neural.
