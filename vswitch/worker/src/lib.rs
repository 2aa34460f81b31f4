//! The poll loop: pinned threads that own ports.
