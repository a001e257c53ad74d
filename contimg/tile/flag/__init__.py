"""Flagging: what the conversion flagged, dead antennas, wild values, and interference found by AOFlagger.

Nothing is imported here: the searching processes load this package, and AOFlagger and numpy are all that they need.
"""
