//! What goes wrong between the watch and the server.
