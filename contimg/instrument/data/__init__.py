"""Tables of facts that the package carries: stations, calibrators, the flagging strategy."""
