//! HTTP: enqueue, status, events
