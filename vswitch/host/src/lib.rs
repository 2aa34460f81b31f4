//! Network namespaces, veth, addresses, routes, neighbours and offload settings.
