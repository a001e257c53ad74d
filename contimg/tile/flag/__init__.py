"""The flag step: flags of the conversion, dead antennas, wild values, and interference found by AOFlagger.

Nothing is imported here: the searching processes load this package, and need AOFlagger and NumPy alone.
"""
