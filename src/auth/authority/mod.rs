//! Answers what a caller may do, and makes the grants that use cases ask for.

mod deciding;
mod grants;
#[cfg(test)]
mod tests;
mod tokens;

pub use deciding::Authority;
