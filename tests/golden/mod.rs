//! What earlier versions stored is opened and used: `README.md` says what stands in the folders beside this file.

mod folder;
mod node;
mod shared;
