//! Commands for images, at any registry: push, pull, copy, list, delete.
//!
//! A file holds one command. What is shown comes from registries and layouts, so it is written as whatever may be in it.

mod advice;
mod complete;
mod copy;
mod daemon_address;
mod delete;
mod describe;
mod info;
mod lines;
mod list;
mod location;
mod management;
mod name;
mod pattern;
mod pull;
mod push;
mod removal;
mod seen;
mod size;
mod tags;
mod transfer;
mod undelete;
mod watch;

pub(super) use complete::{CompleteNamesArguments, run as complete_names};
pub(super) use copy::{CopyArguments, run as copy};
pub(super) use delete::{DeleteArguments, run as delete};
pub(super) use info::{InfoArguments, run as info};
pub(super) use list::{ListArguments, run as list};
pub(super) use pull::{PullArguments, run as pull};
pub(super) use push::{PushArguments, run as push};
pub(super) use tags::{TagsArguments, run as tags};
pub(super) use undelete::{UndeleteArguments, run as undelete};
