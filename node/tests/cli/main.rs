//! The command line as people and scripts meet it: the real binary, its words, its exit codes.

mod daemon;
mod harness;
mod invites;
mod offline;
mod secrecy;
mod talk;
mod texts;
mod verify;
