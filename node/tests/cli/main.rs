//! The command line as people and scripts meet it: the real binary, its words, its exit codes.

mod backup;
mod bots;
mod changes;
mod chat;
mod copied_back;
mod daemon;
mod disappearing;
mod doctor;
mod failures;
mod files;
mod harness;
mod hostile_sync;
mod invites;
mod offline;
mod reading;
mod secrecy;
mod talk;
mod texts;
mod verify;
