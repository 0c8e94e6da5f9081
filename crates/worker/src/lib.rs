//! What a job does: plan, fetch, settle, and the janitors
