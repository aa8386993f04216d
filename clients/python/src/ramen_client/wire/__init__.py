"""What goes over the wire: frames and their encodings, and a connection for each transport.

Nothing here decides what a device does next; that is the part of the modules above.
"""
