//! gdbrns
