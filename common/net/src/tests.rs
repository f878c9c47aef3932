//! What every network must do, held against each of them.

mod suite;
