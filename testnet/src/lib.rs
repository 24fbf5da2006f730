//! Networks of real nodes on one machine: starts `starling` processes, stops, kills and restarts them,
//! and measures what they do. Nothing here simulates: every node is the shipped binary.

pub mod binary;
pub mod control;
pub mod demo;
pub mod introduce;
pub mod names;
pub mod net;
pub mod process;
pub mod run_folder;
pub mod search;
pub mod talk;
