//! Tests that cross crates: the shape of the workspace, and promises kept by real processes.
