"""The published survey: good mosaics, catalogue, measurements and light curves as a directory with a manifest.

    publish(store, Path("survey"), PublicationSelection(), clock=time.time)
    republish(Path("survey/manifest.json"), Path("again"), store)
    verify(Path("survey"))

Mosaics, their table and the measurements come from the store; everything else is made from these files alone, so that
the same files give the same directory bit for bit. Importing this package is light.
"""

from contimg.store.survey.publication import PublicationSelection
from contimg.survey.publication.manifest import Fault, Header, verify
from contimg.survey.publication.run import Publication, preview, publish, republish

__all__ = ["Fault", "Header", "Publication", "PublicationSelection", "preview", "publish", "republish", "verify"]
