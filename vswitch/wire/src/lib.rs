//! Protocol headers as checked views over bytes.
