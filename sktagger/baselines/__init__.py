"""Classical features of clips, to compare networks with.

A baseline is a pipeline of scikit-learn::

    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sktagger.baselines import MFCCStatistics

    forest = make_pipeline(MFCCStatistics(), RandomForestClassifier(500, random_state=0))
    forest.fit(X, Y)
"""

from sktagger.baselines.mfcc_statistics import MFCCStatistics

__all__ = ["MFCCStatistics"]
