//! The whole path of a node in a cluster of two: frames in, frames out, compared byte by byte with frames that were built
//! the other way.

mod affinity;
mod changes;
mod errors;
mod fragments;
mod openings;
mod outside;
mod policies;
mod rig;
mod services;
mod shortcut;
mod tunnels;
