"""Lightning: a callback watches the training; the run is refused where the first batch shows an error."""

import lightning
import torch
from torch import nn

from gainstage.data import load
from gainstage.integrations.lightning import WatchCallback


class Autoencoder(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
        self.decoder = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64))

    def training_step(self, batch, batch_idx):
        (x,) = batch
        return nn.functional.mse_loss(self.decoder(self.encoder(x)), x)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


lightning.seed_everything(0)
pixels = torch.as_tensor(load("digits", seed=0).x_train).float().flatten(1)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(pixels), batch_size=64, shuffle=True)
watching = WatchCallback(refuse=True)
trainer = lightning.Trainer(
    max_epochs=2, accelerator="cpu", callbacks=[watching], gradient_clip_val=1.0, logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
)  # fmt: skip
trainer.fit(Autoencoder(), loader)
print(watching.watch)
