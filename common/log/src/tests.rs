//! Logs, tried at their own doors.
