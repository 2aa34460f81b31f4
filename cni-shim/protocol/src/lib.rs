//! The messages between sluice-cni and sluiced, and the CNI types both speak.
