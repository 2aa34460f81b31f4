//! AF_XDP: UMEM, rings, sockets and frames.
