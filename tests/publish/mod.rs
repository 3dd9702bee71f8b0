//! Publishing: what is pushed to a server becomes a record in a real name server, whatever comes in between.

mod commands;
mod faults;
mod nodes;
mod publisher;
mod purges;
mod pushes;
mod replicas;
mod servers;
mod settings;
mod zones;
