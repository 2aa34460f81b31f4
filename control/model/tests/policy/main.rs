//! What policies mean: the compiled rules against the specification, line by line, and against an oracle that answers
//! from the literal objects with plain loops.

mod agreement;
mod anew;
mod cluster;
mod generate;
mod identities;
mod isolation;
mod oracle;
mod peers;
mod ports;
mod scale;
