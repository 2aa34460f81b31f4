//! sluiced: the node's network in one daemon.
