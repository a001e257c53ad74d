// Colour maps of Matplotlib (CC0) at 33 equally spaced values, and shades of grey; colours between them are interpolated.

export const COLOUR_MAPS = {
  inferno:
    "000004 040312 0b0724 150b37 210c4a 2f0a5b 3d0965 4a0c6b 57106e 64156e 71196e 7d1e6d 8a226a 972766 a32c61 " +
    "b0315b bc3754 c73e4c d24644 db503b e45a31 eb6628 f1731d f68013 f98e09 fb9d07 fcac11 fbbc21 f9cb35 f5db4c " +
    "f2ea69 f3f68a fcffa4",
  viridis:
    "440154 470d60 48186a 482374 472d7b 453781 424086 3e4989 3b528b 375b8d 33638d 2f6b8e 2c728e 297a8e 26828e " +
    "23898e 21918c 1f988b 1fa088 22a785 28ae80 32b67a 3fbc73 4ec36b 5ec962 70cf57 84d44b 98d83e addc30 c2df23 " +
    "d8e219 ece51b fde725",
  grey: "000000 ffffff",
  "inverted grey": "ffffff 000000",
};
