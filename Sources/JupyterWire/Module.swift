// Module JupyterWire.
