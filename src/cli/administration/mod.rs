//! Commands that administer accounts, over the management API of a registry that was signed in to.
//!
//! Which registry that is, and the credentials, are where docker keeps its own. A file holds one command. What a command
//! shows comes from the registry, so it is written as whatever may be in it: see [`output`](super::output).

mod audit;
mod authorities;
mod byte_count;
mod credential_helper;
mod docker_config;
mod gc;
mod grant;
mod helper;
mod host;
mod import;
mod login;
mod logout;
mod namespace;
mod noted;
mod offline;
mod password;
mod prompt;
mod quota;
mod repository;
mod session;
mod setup;
mod table;
mod team;
mod token;
mod usage;
mod user;

pub(super) use audit::{AuditArguments, run as audit};
pub(super) use authorities::of as authorities_of;
pub(super) use credential_helper::{is_meant as is_credential_helper, run as credential_helper};
pub(super) use docker_config::{DockerConfig, Login, folder as docker_folder};
pub(super) use gc::{GcArguments, run as gc};
pub(super) use grant::{GrantArguments, run as grant};
pub(super) use host::RegistryHost;
pub(super) use login::{LoginArguments, run as login};
pub(super) use logout::{LogoutArguments, run as logout};
pub(super) use namespace::{NamespaceArguments, run as namespace};
pub(super) use noted::token_services;
pub(super) use quota::{QuotaArguments, run as quota};
pub(super) use repository::{RepositoryArguments, run as repository};
pub(super) use session::registry_or_default;
pub(super) use setup::{SetupArguments, run as setup};
pub(super) use table::{Column, print, print_list};
pub(super) use team::{TeamArguments, run as team};
pub(super) use token::{TokenArguments, run as token};
pub(super) use usage::{UsageArguments, run as usage};
pub(super) use user::{UserArguments, run as user};

use super::{CommonArguments, output, runtime};
