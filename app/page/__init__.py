"""The web page of `sssm demo`: a live microphone and files, for several people at once.

Sound from a microphone goes over a websocket (`socket`, whose docstring is the protocol), files
through Gradio; both are heard by `hearing`.  `server` puts the parts together, `gate` says who may
come in, `shelf` holds the weights that all visitors share: they share nothing else.
"""

import os

# Read when gradio is imported: it asks nothing of the network.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
