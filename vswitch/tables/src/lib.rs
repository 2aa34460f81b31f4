//! One immutable generation of what the switch knows, and its builder.
