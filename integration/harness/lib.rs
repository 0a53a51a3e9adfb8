//! What every test needs: a gate, a server, an agent.
