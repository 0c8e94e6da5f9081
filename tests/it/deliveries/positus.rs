//! Positus
