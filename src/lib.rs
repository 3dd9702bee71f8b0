//! Roadstead
