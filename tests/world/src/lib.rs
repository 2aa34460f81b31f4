//! A switch in memory, fixtures, an oracle that answers from the objects, and virtual time.
