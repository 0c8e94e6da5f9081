//! The Redis queue: scripts, scheduler, limiter, apalis backend
