//! What happens to a packet, stage by stage.
