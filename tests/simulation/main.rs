//! Hundreds of whole nodes in virtual time, from seeds.

mod late_tags;
mod replay;
mod sabotage;
mod seeds;
