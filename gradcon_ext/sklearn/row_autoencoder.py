"""An autoencoder of rows of features that are no image."""

from __future__ import annotations

from math import isqrt

from torch import Tensor, nn

from gradcon_ext.losses import squared_error


class RowAutoencoder(nn.Module):
    """Two fully connected layers down to a code, and two back; tanh between them, and no bound on what comes out.

    Args:
        features: numbers F of a row.
        width: of the layers between row and code.
        latent: numbers of a code; the square root of F, rounded down, by default.
    """

    loss = staticmethod(squared_error)
    accepts = "features"  # What `gradcon_ext.data.images.takes_features` asks of a model.

    def __init__(self, features: int, width: int, latent: int | None = None) -> None:
        super().__init__()
        code = isqrt(features) if latent is None else latent
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(features, width), nn.Tanh(), nn.Linear(width, code))
        self.decoder = nn.Sequential(
            nn.Linear(code, width), nn.Tanh(), nn.Linear(width, features), nn.Unflatten(1, (features, 1, 1))
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Reconstruct rows (N, F, 1, 1)."""
        reconstruction: Tensor = self.decoder(self.encoder(rows))
        return reconstruction
